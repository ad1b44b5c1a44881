package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// pinned keeps this process to the load's core while f runs: a load that is made in
// here, and not by wrk, would share the server's core otherwise, and wait for it in
// turns of milliseconds.
func (b *bench) pinned(f func() error) error {
	if err := pin(b.client); err != nil {
		return err
	}
	return errors.Join(f(), pin(b.all))
}

// pin says on which cores all threads of this process run, and those that they
// start.
func pin(cores string) error {
	out, err := exec.Command("taskset", "-a", "-c", "-p", cores, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w\n%s", err, out)
	}
	return nil
}
