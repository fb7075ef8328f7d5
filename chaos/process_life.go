package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// command is how a machine's server is started.
func (w *Processes) command(m *machine) *exec.Cmd {
	binary := w.config.Binary
	if w.config.Binaries != nil && w.config.Binaries(m.name) != "" {
		binary = w.config.Binaries(m.name)
	}
	var join []string
	expect := 0
	for _, other := range w.nodes {
		join = append(join, other.gossip)
		if other.founder {
			expect++
		}
	}
	if !m.founder {
		expect = 0
	}
	args := append([]string{binary, "server", "--http", m.http, "--peer", m.peer, "--gossip", m.gossip, "--node-name", m.name,
		"--cluster-name", "chaos", "--data-dir", m.data, "--insecure-no-auth", "--stop-with-stdin",
		"--bootstrap-expect", fmt.Sprint(expect), "--join", strings.Join(join, ","), "--dial-via", strings.Join(m.via, ",")}, w.config.Args...)
	if w.config.Run != nil {
		args = append(w.config.Run(m.name), args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// start runs a process on the machine, under a supervisor. w.mu may be held or not: only one caller starts a machine.
func (w *Processes) start(m *machine) error {
	output, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the child has its own descriptor
	process := w.command(m)
	process.Stdout, process.Stderr = output, output
	process.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "HOIST_") })
	leash, err := process.StdinPipe() // it ends when we do
	if err != nil {
		return err
	}
	ownGroup(process)
	if err := process.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	m.process, m.exited, m.wanted, m.paused = process, exited, true, false
	m.strikes++
	w.history.Mark(MarkStart, m.name, "")
	w.wg.Go(func() {
		err := process.Wait()
		_ = leash.Close() // the other end has gone
		close(exited)
		w.supervise(m, process, err)
	})
	return nil
}

// supervise starts a process that ended itself again, as systemd would.
func (w *Processes) supervise(m *machine, process *exec.Cmd, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || !m.wanted || m.process != process {
		return
	}
	text := "it stopped"
	if why != nil {
		text = why.Error()
	}
	w.history.Mark(MarkExit, m.name, text)
	m.strikes++
	if m.gone {
		m.wanted = false
		return
	}
	time.Sleep(100 * time.Millisecond) // RestartSec
	if err := w.start(m); err != nil {
		w.history.Mark("failed", m.name, err.Error())
	}
}

// Crash implements World: SIGKILL.
func (w *Processes) Crash(node string) error {
	w.mu.Lock()
	m := w.machine(node)
	if m == nil || !m.wanted {
		w.mu.Unlock()
		return nil
	}
	m.wanted = false
	m.strikes++
	process, exited := m.process, m.exited
	w.mu.Unlock()
	w.history.Mark(MarkCrash, node, "")
	if err := signal(process, syscall.SIGKILL); err != nil {
		return err
	}
	<-exited
	return nil
}

// Stop ends a process gracefully.
func (w *Processes) Stop(node string) error {
	w.mu.Lock()
	m := w.machine(node)
	if m == nil || !m.wanted {
		w.mu.Unlock()
		return nil
	}
	m.wanted = false
	m.strikes++
	process, exited := m.process, m.exited
	w.mu.Unlock()
	if err := signal(process, syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-exited:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s does not stop", node), signal(process, syscall.SIGKILL))
	}
}

// Restart implements World.
func (w *Processes) Restart(node string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.machine(node); m != nil && !m.wanted && !m.gone {
		return w.start(m)
	}
	return nil
}

// Pause implements World: SIGSTOP.
func (w *Processes) Pause(node string) error { return w.freeze(node, true) }

// Resume implements World: SIGCONT.
func (w *Processes) Resume(node string) error { return w.freeze(node, false) }

func (w *Processes) freeze(node string, still bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machine(node)
	if m == nil || !m.wanted || m.paused == still {
		return nil
	}
	m.paused = still
	m.strikes++
	if still {
		return signal(m.process, syscall.SIGSTOP)
	}
	return signal(m.process, syscall.SIGCONT)
}
