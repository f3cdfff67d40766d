package file

// Rows is the number of rows that the stream will deliver as far as the files announce it, for progress reports: -1 when
// only reading them tells.
func (s *Stream) Rows() int64 {
	var total int64
	for _, src := range s.sources {
		n := src.rows()
		if n < 0 {
			return -1
		}
		total += n
	}
	return total
}
