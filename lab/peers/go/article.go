package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// checkEvery is how often each pod is asked, and how long it may take to answer.
	checkEvery = 5 * time.Second
	// resolveEvery is how long DNS answers are kept.
	resolveEvery = 30 * time.Second
)

// articleClient is the set-up of the article that the workload is taken from, as it behaves: the addresses that DNS names, by turns,
// one HTTP/2 connection each, a 30 s dial timeout, and a health checker that asks each of them every 5 s. Its own package is not to
// be had from the module proxy.
type articleClient struct {
	told environment
	next atomic.Uint64
	// all that DNS names, and those of them that answered the last check.
	all, healthy atomic.Pointer[[]*httpClient]
}

func article(told environment) (client, error) {
	client := &articleClient{told: told}
	if err := client.resolve(); err != nil {
		return nil, err
	}
	client.healthy.Store(client.all.Load())
	go client.govern()
	return client, nil
}

// resolve asks DNS; connections to addresses that are still named are kept.
func (c *articleClient) resolve() error {
	host, port, err := net.SplitHostPort(c.told.target)
	if err != nil {
		return err
	}
	addresses, err := resolver(c.told).LookupHost(context.Background(), host+".")
	if err != nil {
		return err
	}
	known := map[string]*httpClient{}
	if all := c.all.Load(); all != nil {
		for _, pod := range *all {
			known[pod.address] = pod
		}
	}
	var pods []*httpClient
	for _, address := range addresses {
		address = net.JoinHostPort(address, port)
		pod := known[address]
		if pod == nil {
			pod = &httpClient{http.Client{Transport: transport(c.told)}, address}
		}
		pods = append(pods, pod)
	}
	c.all.Store(&pods)
	return nil
}

func (c *articleClient) govern() {
	resolved := time.Now()
	for range time.Tick(checkEvery) {
		if time.Since(resolved) >= resolveEvery && c.resolve() == nil {
			resolved = time.Now()
		}
		go c.check(*c.all.Load())
	}
}

// check asks each pod; those that do not answer in time take no calls until they do.
func (c *articleClient) check(pods []*httpClient) {
	ctx, cancel := context.WithTimeout(context.Background(), checkEvery)
	defer cancel()
	answers := make([]chan bool, len(pods))
	for i, pod := range pods {
		answers[i] = make(chan bool, 1)
		go func() {
			_, err := pod.call(ctx, warmUp)
			answers[i] <- err == nil
		}()
	}
	var healthy []*httpClient
	for i, pod := range pods {
		if <-answers[i] {
			healthy = append(healthy, pod)
		}
	}
	c.healthy.Store(&healthy)
}

func (c *articleClient) call(ctx context.Context, id uint64) (string, error) {
	pods := *c.healthy.Load()
	if len(pods) == 0 {
		return "", errors.New("no pod is healthy")
	}
	return pods[c.next.Add(1)%uint64(len(pods))].call(ctx, id)
}

func (*articleClient) pods(n int) int { return n }
