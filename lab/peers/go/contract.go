package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// environment is what the lab tells a client.
type environment struct {
	target      string
	nameServer  string
	pods        []string
	concurrency uint64
	requests    uint64
	calls       string
	seconds     uint64
	idempotent  bool
}

func readEnvironment() (environment, error) {
	var told environment
	var err error
	text := func(name string) string {
		value, found := os.LookupEnv(name)
		if !found && err == nil {
			err = fmt.Errorf("%s is not set: a client is started by the lab, see docs/lab.md", name)
		}
		return value
	}
	number := func(name string) uint64 {
		value, fault := strconv.ParseUint(text(name), 10, 64)
		if fault != nil && err == nil {
			err = fmt.Errorf("%s: %w", name, fault)
		}
		return value
	}
	told.target = text("OBIT_LAB_TARGET")
	told.nameServer = text("OBIT_LAB_NAME_SERVER")
	told.pods = strings.Split(text("OBIT_LAB_PODS"), ",")
	told.concurrency = number("OBIT_LAB_CONCURRENCY")
	told.requests = number("OBIT_LAB_REQUESTS")
	told.calls = cmp.Or(os.Getenv("OBIT_LAB_CALLS"), unary)
	told.seconds = number("OBIT_LAB_SECONDS")
	told.idempotent = text("OBIT_LAB_IDEMPOTENT") == "true"
	return told, err
}

// A line is what a client says; see docs/lab.md.
type line struct {
	Type    string  `json:"type"`
	AtNS    *uint64 `json:"at_ns,omitempty"`
	Stopped bool    `json:"stopped,omitempty"`
	Why     string  `json:"why,omitempty"`
	*callLine
}

type callLine struct {
	ID      uint64 `json:"id"`
	StartNS uint64 `json:"start_ns"`
	EndNS   uint64 `json:"end_ns,omitempty"`
	Pod     string `json:"pod,omitempty"`
	Error   string `json:"error,omitempty"`
}

// say writes lines and sees to it that they are read.
func say(lines ...line) error {
	buffer := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(buffer)
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return buffer.Flush()
}

// monotonicNS is CLOCK_MONOTONIC.
func monotonicNS() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return uint64(now.Nano())
}
