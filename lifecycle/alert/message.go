package alert

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// slackText is an alert as Slack shows it, in its mrkdwn.
func slackText(a *Alert) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	var b strings.Builder
	state := string(a.Severity)
	if a.Resolved {
		state = "resolved"
	}
	title := a.Title
	if title == "" {
		title = a.Key
	}
	fmt.Fprintf(&b, "*[%s]* %s", state, escape(title))
	if a.Model != "" {
		fmt.Fprintf(&b, "\nmodel %s", escape(a.Model))
		if a.Version != 0 {
			fmt.Fprintf(&b, " version %d", a.Version)
		}
	}
	if a.Text != "" {
		fmt.Fprintf(&b, "\n%s", escape(a.Text))
	}
	if a.Command != "" {
		fmt.Fprintf(&b, "\n`%s`", escape(strings.ReplaceAll(a.Command, "`", "'")))
	}
	if a.Link != "" {
		fmt.Fprintf(&b, "\n%s", escape(a.Link))
	}
	if a.Owner != "" {
		fmt.Fprintf(&b, "\nfor %s", escape(a.Owner))
	}
	return b.String()
}

// slackBody is the body of a Slack-compatible incoming webhook.
func slackBody(a *Alert) ([]byte, error) {
	return json.Marshal(map[string]string{"text": slackText(a)})
}

// event is the body of a generic webhook, in the form that the Standard Webhooks specification recommends.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      *Alert    `json:"data"`
}

func webhookBody(a *Alert) ([]byte, error) {
	kind := "alert.raised"
	if a.Resolved {
		kind = "alert.resolved"
	}
	return json.Marshal(event{Type: kind, Timestamp: a.At, Data: a})
}

// messageID names an alert the same way whenever it is sent.
func messageID(payload []byte) string {
	sum := sha256.Sum256(payload)
	return "msg_" + hex.EncodeToString(sum[:16])
}

// secretPrefix begins secrets as the Standard Webhooks specification writes them.
const secretPrefix = "whsec_"

// secretKeys reads the keys of a secret: base64, with or without the prefix; several, separated by spaces, while one is
// replaced by another.
func secretKeys(secret string) ([][]byte, error) {
	var keys [][]byte
	for s := range strings.FieldsSeq(secret) {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
		if err != nil || len(key) == 0 {
			return nil, fmt.Errorf("%w: the secret is not %q and base64", ErrInvalid, secretPrefix)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// sign sets the headers of the Standard Webhooks specification, version 1 (https://www.standardwebhooks.com): the
// signature is HMAC-SHA256 over id, time in seconds and body, joined by dots.
func sign(h http.Header, keys [][]byte, id string, at time.Time, body []byte) {
	seconds := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", seconds)
	var signatures []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, seconds)
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) > 0 {
		h.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
}
