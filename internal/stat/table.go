package stat

import "fmt"

// margins adds up a table's rows and columns.
func margins(table [][]int64) (rows, cols []int64, all int64, err error) {
	rows = make([]int64, len(table))
	for i, row := range table {
		if i == 0 {
			cols = make([]int64, len(row))
		}
		if err := sameLength(len(cols), len(row)); err != nil {
			return nil, nil, 0, fmt.Errorf("row %d of the table: %w", i, err)
		}
		for j, n := range row {
			if n < 0 {
				return nil, nil, 0, fmt.Errorf("row %d, column %d of the table is %d: %w", i, j, n, ErrInput)
			}
			rows[i] += n
			cols[j] += n
			all += n
		}
	}
	if all == 0 {
		return nil, nil, 0, fmt.Errorf("the table is empty: %w", ErrInput)
	}
	return rows, cols, all, nil
}
