package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// resolver asks the lab's name server.
func resolver(told environment) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, told.nameServer)
		},
	}
}

// transport speaks HTTP/2 in clear, with net/http's defaults; its dial timeout is http.DefaultTransport's.
func transport(told environment) *http.Transport {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Resolver: resolver(told)}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{DialContext: dialer.DialContext, Protocols: &protocols}
}

// httpClient is net/http over the pods' name: one HTTP/2 connection, to whichever pod it resolved to.
type httpClient struct {
	http.Client
	address string
}

func oneConnection(told environment) (client, error) {
	return &httpClient{http.Client{Transport: transport(told)}, told.target}, nil
}

func (c *httpClient) call(ctx context.Context, id uint64) (string, error) {
	body, err := json.Marshal(map[string]string{"id": strconv.FormatUint(id, 10)})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+method, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var named struct {
		Pod string `json:"pod"`
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", response.Status, answer)
	}
	err = json.Unmarshal(answer, &named)
	return named.Pod, err
}

func (*httpClient) pods(int) int { return 1 }
