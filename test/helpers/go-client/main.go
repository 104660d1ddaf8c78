// A client over net/http. Its first line on stdin is an order; for each further line it makes a request
// and prints the result as a line of JSON.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

type order struct {
	Port int    `json:"port"`
	Host string `json:"host"`
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
	// Insists sends the certificate whatever CAs the server names. Go itself sends only certificates of these CAs.
	Insists bool `json:"insists"`
	// Keeps sends all requests over one connection. Otherwise each has its own, and resumes a session.
	Keeps bool `json:"keeps"`
}

type answer struct {
	Status  int    `json:"status"`
	Proto   string `json:"proto"`
	Resumed bool   `json:"resumed"`
	Body    string `json:"body"`
	Error   string `json:"error"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	var given order
	lines.Scan()
	if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: transport(given)}
	url := fmt.Sprintf("https://%s:%d/", given.Host, given.Port)
	for lines.Scan() {
		line, err := json.Marshal(ask(client, url))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(line))
	}
}

func transport(given order) *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(given.CA))
	config := &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if given.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(given.Cert), []byte(given.Key))
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
		if given.Insists {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &pair, nil
			}
		}
	}
	dialer := net.Dialer{}
	return &http.Transport{
		TLSClientConfig:   config,
		ForceAttemptHTTP2: true,
		DisableKeepAlives: !given.Keeps,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", given.Port))
		},
	}
}

func ask(client *http.Client, url string) answer {
	response, err := client.Get(url)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{
		Status:  response.StatusCode,
		Proto:   response.Proto,
		Resumed: response.TLS.DidResume,
		Body:    string(body),
	}
}
