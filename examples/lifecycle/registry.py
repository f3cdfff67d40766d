"""registry.py MODEL [--champion]: what the MLflow registry of MLFLOW_TRACKING_URI says of a model."""

import argparse

from mlflow import MlflowClient


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--champion", action="store_true", help="print the number of the Champion's version only")
    given = parser.parse_args()
    client = MlflowClient()

    champion = client.get_model_version_by_alias(given.model, "Champion")
    if given.champion:
        print(champion.version)
        return
    print(f'get_model_version_by_alias("{given.model}", "Champion") -> version {champion.version}, run {champion.run_id}')
    print(f"search_model_versions(\"name='{given.model}'\")")
    for v in client.search_model_versions(f"name='{given.model}'"):
        print(f"  version {v.version}  {v.status}  {v.tags.get('treeline.stage', '-'):12} {v.tags.get('run_name', '-')}")


if __name__ == "__main__":
    main()
