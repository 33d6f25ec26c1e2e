package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/leastrequest" // Registers least_request_experimental.
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	service = "/obit.lab.v1.Demo/"
	method  = service + "Call"
)

// grpcClient is grpc-go over the pods' headless name.
type grpcClient struct{ connection *grpc.ClientConn }

// roundRobin is grpc-go as its examples show it for headless services: everything else is a default.
func roundRobin(told environment) (client, error) {
	return dial(told, `{"loadBalancingConfig":[{"round_robin":{}}]}`)
}

func leastRequest(told environment) (client, error) {
	return dial(told, `{"loadBalancingConfig":[{"least_request_experimental":{"choiceCount":2}}]}`)
}

// roundRobinAtItsBest adds what grpc-go's documents advise against dead connections: retries of UNAVAILABLE, and keepalive at the shortest
// time allowed, whose timeout is the socket's TCP_USER_TIMEOUT as well.
func roundRobinAtItsBest(told environment) (client, error) {
	if !told.idempotent {
		return dial(told, `{"loadBalancingConfig":[{"round_robin":{}}]}`, withKeepalive())
	}
	return dial(told, `{
		"loadBalancingConfig": [{"round_robin": {}}],
		"methodConfig": [{
			"name": [{"service": "obit.lab.v1.Demo"}],
			"retryPolicy": {
				"maxAttempts": 5,
				"initialBackoff": "0.01s",
				"maxBackoff": "0.1s",
				"backoffMultiplier": 2,
				"retryableStatusCodes": ["UNAVAILABLE"]
			}
		}]
	}`, withKeepalive())
}

func withKeepalive() grpc.DialOption {
	return grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time:                10 * time.Second,
		Timeout:             time.Second,
		PermitWithoutStream: true,
	})
}

func dial(told environment, config string, options ...grpc.DialOption) (client, error) {
	options = append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
	)
	connection, err := grpc.NewClient(fmt.Sprintf("dns://%s/%s", told.nameServer, told.target), options...)
	return grpcClient{connection}, err
}

func (c grpcClient) call(ctx context.Context, id uint64) (string, error) {
	var answer callResponse
	err := c.connection.Invoke(ctx, method, &callRequest{id}, &answer)
	return answer.pod, err
}

func (grpcClient) pods(n int) int { return n }

// The two messages of demo.proto, each with its one field.
type (
	callRequest  struct{ id uint64 }
	callResponse struct{ pod string }
)

// codec writes and reads them: what protoc would generate for one field each.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(message any) ([]byte, error) {
	request, ok := message.(*callRequest)
	if !ok {
		return nil, fmt.Errorf("%T is no request", message)
	}
	if request.id == 0 {
		return nil, nil
	}
	return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), request.id), nil
}

func (codec) Unmarshal(data []byte, message any) error {
	response, ok := message.(*callResponse)
	if !ok {
		return fmt.Errorf("%T is no response", message)
	}
	number, kind, length := protowire.ConsumeTag(data)
	if length < 0 || number != 1 || kind != protowire.BytesType {
		return fmt.Errorf("an answer that names no pod: %x", data)
	}
	name, length := protowire.ConsumeBytes(data[length:])
	if length < 0 {
		return protowire.ParseError(length)
	}
	response.pod = string(name)
	return nil
}
