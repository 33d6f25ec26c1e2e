package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
)

const (
	// messages is how many there are in each direction that streams.
	messages = 5
	// thinkTime is how long a call takes, over which the requests of a client that streams are spread.
	thinkTime = 10 * time.Millisecond
)

// kinds are the calls that stream, by the name that the lab gives them.
var kinds = map[string]grpc.StreamDesc{
	"client-stream": {StreamName: "ClientStream", ClientStreams: true},
	"server-stream": {StreamName: "ServerStream", ServerStreams: true},
	"bidi":          {StreamName: "Bidi", ClientStreams: true, ServerStreams: true},
}

// stream makes a call of that kind: it is answered when every message came, all from one pod, and the end with it.
func (c grpcClient) stream(ctx context.Context, calls string, id uint64) (string, error) {
	kind := kinds[calls]
	// Frees what a stream holds that was not read to its end.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	stream, err := c.connection.NewStream(ctx, &kind, service+kind.StreamName)
	if err != nil {
		return "", err
	}
	requests, answers := 1, 1
	if kind.ClientStreams {
		requests = messages
	}
	if kind.ServerStreams {
		answers = messages
	}
	request := func(number int) error {
		// io.EOF says that the stream has ended; why is said where answers are read. What is sent all the same is kept: a call that had
		// not left is made elsewhere there, and would lack what was not sent, and hang.
		if err := stream.SendMsg(&callRequest{id}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if number == requests-1 {
			return stream.CloseSend()
		}
		return nil
	}
	early := requests
	if kind.ServerStreams {
		early = 1
	}
	for number := range early {
		time.Sleep(time.Until(began.Add(thinkTime * time.Duration(number) / messages)))
		if err := request(number); err != nil {
			return "", err
		}
	}
	var pod string
	for number := range answers {
		if 0 < number && number < requests {
			if err := request(number); err != nil {
				return "", err
			}
		}
		var answer callResponse
		if err := stream.RecvMsg(&answer); errors.Is(err, io.EOF) {
			return "", fmt.Errorf("only %d answers of %d came", number, answers)
		} else if err != nil {
			return "", err
		}
		if pod != "" && answer.pod != pod {
			return "", errors.New("answered by two pods")
		}
		pod = answer.pod
	}
	if !kind.ServerStreams {
		return pod, nil
	}
	if err := stream.RecvMsg(&callResponse{}); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("more than %d answers came", answers)
		}
		return "", err
	}
	return pod, nil
}
