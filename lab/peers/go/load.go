package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// warmUp is the number of calls that pods do not count.
	warmUp = math.MaxUint64
	// patience is how long a client may take to open its connections.
	patience = 10 * time.Second
)

// drive warms the client up, waits until it is told to go, applies the load and tells of each call.
func drive(client client, told environment) error {
	if err := warm(client, len(told.pods)); err != nil {
		return err
	}
	if err := say(line{Type: "ready"}); err != nil {
		return err
	}
	word, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(word) != "go" {
		return fmt.Errorf("told %q instead of \"go\" (%v)", word, err)
	}
	start := monotonicNS()
	if err := say(line{Type: "started", AtNS: &start}); err != nil {
		return err
	}
	traces := make([]trace, told.concurrency)
	var callers sync.WaitGroup
	for caller := range told.concurrency {
		callers.Go(func() { traces[caller].ask(client, caller*told.requests, told.requests) })
	}
	over := make(chan struct{})
	go func() {
		callers.Wait()
		close(over)
	}()
	stopped := false
	select {
	case <-over:
	case <-time.After(time.Duration(told.seconds) * time.Second):
		stopped = true
	}
	end := monotonicNS()
	lines := make([]line, 0, told.concurrency*told.requests+1)
	for caller := range traces {
		for _, call := range traces[caller].until() {
			lines = append(lines, line{Type: "call", callLine: &call})
		}
	}
	return say(append(lines, line{Type: "done", AtNS: &end, Stopped: stopped})...)
}

// warm calls until as many pods have answered as the client connects to.
func warm(client client, pods int) error {
	expected := client.pods(pods)
	deadline := time.Now().Add(patience)
	seen := map[string]bool{}
	var last error
	for len(seen) < expected {
		if time.Now().After(deadline) {
			return fmt.Errorf("warm-up: only %d of %d pods answered within %v; last failure: %w", len(seen), expected, patience, last)
		}
		var lock sync.Mutex
		var calls sync.WaitGroup
		for range 10 * pods {
			calls.Go(func() {
				pod, err := client.call(context.Background(), warmUp)
				lock.Lock()
				defer lock.Unlock()
				if err != nil {
					last = err
				} else {
					seen[pod] = true
				}
			})
		}
		calls.Wait()
	}
	return nil
}

// A trace is what became of one caller's calls; one that has begun and not ended has no end.
type trace struct {
	lock  sync.Mutex
	calls []callLine
}

// ask makes the calls from first on, one after the other.
func (t *trace) ask(client client, first, calls uint64) {
	for id := first; id < first+calls; id++ {
		begun := callLine{ID: id, StartNS: monotonicNS()}
		t.lock.Lock()
		t.calls = append(t.calls, begun)
		t.lock.Unlock()
		pod, err := client.call(context.Background(), id)
		begun.EndNS = monotonicNS()
		if err != nil {
			begun.Error = err.Error()
		} else {
			begun.Pod = pod
		}
		t.lock.Lock()
		t.calls[len(t.calls)-1] = begun
		t.lock.Unlock()
	}
}

// until is what became of them until now.
func (t *trace) until() []callLine {
	t.lock.Lock()
	defer t.lock.Unlock()
	return append([]callLine(nil), t.calls...)
}
