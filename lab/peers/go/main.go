// Clients of the lab over published Go packages. Each keeps the contract of docs/lab.md.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
)

// A client makes calls; what it is built on decides where they go.
type client interface {
	// call makes one call, and returns the name of the pod that answered.
	call(ctx context.Context, id uint64) (string, error)
	// pods is how many of n pods the client has connections to once it is warm.
	pods(n int) int
}

// A streamer makes calls that stream as well.
type streamer interface {
	client
	// stream makes one call of the kind that the lab names, and returns the name of the pod that answered.
	stream(ctx context.Context, calls string, id uint64) (string, error)
}

// streaming is a streamer whose calls are all of one kind.
type streaming struct {
	streamer
	calls string
}

func (s streaming) call(ctx context.Context, id uint64) (string, error) {
	return s.stream(ctx, s.calls, id)
}

// unary is the kind of calls that do not stream.
const unary = "unary"

// clients are the set-ups, by the name that the lab gives them.
var clients = map[string]func(environment) (client, error){
	"grpc-go":               roundRobin,
	"grpc-go-least-request": leastRequest,
	"grpc-go-best":          roundRobinAtItsBest,
	"go-http":               oneConnection,
	"article":               article,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "obit-lab-go:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	names := slices.Sorted(maps.Keys(clients))
	if len(arguments) != 1 || clients[arguments[0]] == nil {
		return fmt.Errorf("name one client of %v", names)
	}
	told, err := readEnvironment()
	if err != nil {
		return err
	}
	client, err := clients[arguments[0]](told)
	if err != nil {
		return err
	}
	if told.calls != unary {
		able, streams := client.(streamer)
		if _, known := kinds[told.calls]; !streams || !known {
			return say(line{Type: "unable", Why: "does not do streaming calls"})
		}
		client = streaming{able, told.calls}
	}
	return drive(client, told)
}
