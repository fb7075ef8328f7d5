package transport

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/transport/lane"
)

// Feeds lets tests see that feeds without followers end.
func (s *Server) Feeds() int { return s.hub.Feeds() }

// Lane is what Serve gives to the lane.
func (s *Server) Lane() lane.Config { return s.laneConfig() }

// Patterns are the patterns of every route of plain HTTP under /api/v1.
func (s *Server) Patterns() []string {
	var out []string
	for pattern := range s.asked {
		if strings.Contains(pattern, " /api/v1/") {
			out = append(out, pattern)
		}
	}
	return out
}

// PatternOf is the pattern that answers an operation; empty when none does.
func (s *Server) PatternOf(method, path string) string {
	r, err := http.NewRequest(method, pathName.ReplaceAllString(path, "x"), nil)
	if err != nil {
		return ""
	}
	_, pattern := s.mux.Handler(r)
	return pattern
}

// Operations are the operations that the files of openapi/ describe.
func Operations() ([]string, error) {
	all, err := chapters()
	return slices.Collect(maps.Keys(all.Operations)), err
}

// ServePlain lets tests see which calls are answered without Connect.
func (s *Server) ServePlain(w http.ResponseWriter, r *http.Request) bool { return s.plain.serve(w, r) }
