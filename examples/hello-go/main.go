// A web server of one page: whoever asks, on whatever path, is answered "Hello world!".
//
// It is the program of the founding example: small in itself, but the toolchain that builds it weighs a gigabyte.
package main

import (
	"io"
	"log"
	"net/http"
)

const address = ":8080"

func hello(answer http.ResponseWriter, _ *http.Request) {
	if _, err := io.WriteString(answer, "Hello world!\n"); err != nil {
		log.Print(err)
	}
}

func main() {
	http.HandleFunc("/", hello)
	log.Printf("listening on %s", address)
	log.Fatal(http.ListenAndServe(address, nil))
}
