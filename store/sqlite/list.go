package sqlite

import (
	"fmt"
	"strings"
)

// listing is a query that is read page by page, in the descending order of a key: an ascending integer, or a time and an
// id.
type listing[T any, K int64 | [2]string] struct {
	from  string // "SELECT ... FROM ..."
	order string // the key's column, or columns joined by ", "
	scan  func(*T) func(scanner) error
	key   func(*T) K

	scope string // of the page tokens: the listing and its filters
	where []string
	args  []any
}

// equal restricts a column to a value unless that is empty. Each call adds to the scope.
func (l *listing[T, K]) equal(column, value string) {
	l.scope += fmt.Sprintf("/%q", value)
	if value != "" {
		l.where, l.args = append(l.where, column+` = ?`), append(l.args, value)
	}
}

// page reads the page that a token stands for and makes the token of the next one.
func (l *listing[T, K]) page(r *reader, size int, pageToken string) ([]T, string, error) {
	where, args := append([]string{`true`}, l.where...), l.args
	if pageToken != "" {
		var last K
		if err := openToken(l.scope, pageToken, &last); err != nil {
			return nil, "", err
		}
		switch k := any(last).(type) {
		case int64:
			where, args = append(where, l.order+` < ?`), append(args, k)
		case [2]string:
			where, args = append(where, `(`+l.order+`) < (?, ?)`), append(args, k[0], k[1])
		}
	}
	size = pageSize(size)
	var out []T
	err := r.each(func(row scanner) error {
		var v T
		err := l.scan(&v)(row)
		out = append(out, v)
		return err
	}, l.from+` WHERE `+strings.Join(where, ` AND `)+
		` ORDER BY `+strings.ReplaceAll(l.order, `,`, ` DESC,`)+` DESC LIMIT ?`, append(args, size+1)...)
	if err != nil || len(out) <= size {
		return out, "", err
	}
	out = out[:size]
	next, err := sealToken(l.scope, l.key(&out[size-1]))
	return out, next, err
}
