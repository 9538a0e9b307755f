package modelserver

import "context"

// Hang makes the model look as if its inferences hung, until release.
func (s *Server) Hang(name string) (release func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	model := s.loaded[name]
	model.overdue.Add(maxOverdue)
	return func() { model.overdue.Add(-maxOverdue) }
}

// Run hands a call to the server's engine watch, as an inference does.
func (s *Server) Run(ctx context.Context, call func() error, last func()) error {
	return s.work.run(ctx, call, last)
}

// The engine watch's own errors.
var (
	ErrOverdue = errOverdue
	ErrStopped = errStopped
)
