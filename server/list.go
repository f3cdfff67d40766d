package server

// pageRequest is the part that every paged list request has.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

// page is the page that a checked request asks for.
type page struct {
	size  int
	token string
}

// list is the shape of every paged list: it checks the request, what is particular to it with further (may be nil),
// fetches one page and converts its rows.
func list[R, P any](
	r pageRequest, further func(*check), fetch func(page) ([]R, string, error), convert func(R) P,
) (rows []P, next string, err error) {
	var c check
	if m, ok := r.(interface{ GetModelName() string }); ok {
		c.modelFilter("model_name", m.GetModelName())
	}
	c.pageSize("page_size", r.GetPageSize())
	c.line("page_token", r.GetPageToken(), maxTokenBytes)
	if further != nil {
		further(&c)
	}
	if err := c.err(); err != nil {
		return nil, "", err
	}
	found, next, err := fetch(page{size: int(r.GetPageSize()), token: r.GetPageToken()})
	if err != nil {
		return nil, "", err
	}
	return each(found, convert), next, nil
}

// each converts rows.
func each[R, P any](rows []R, convert func(R) P) []P {
	out := make([]P, 0, len(rows))
	for _, r := range rows {
		out = append(out, convert(r))
	}
	return out
}
