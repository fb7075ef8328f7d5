package transport

// Feeds lets tests see that feeds without followers end.
func (s *Server) Feeds() int { return s.hub.Feeds() }
