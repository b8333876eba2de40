// Views the page three times with net/http and its cookie jar, and prints the counts.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/cookiejar"
	"os"
)

func main() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	client := http.Client{Jar: jar}
	for i := 0; i < 3; i++ {
		request, err := http.NewRequest("GET", os.Args[1], nil)
		if err != nil {
			log.Fatal(err)
		}
		request.Header.Set("Accept", "application/json")
		response, err := client.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		var page struct{ Views int }
		if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
			log.Fatal(err)
		}
		response.Body.Close()
		fmt.Println(page.Views)
	}
}
