package artifact_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"phantom/artifact"
)

// TestMain is also the program that TestPutSurvivesKill kills: with two arguments of its own it stores
// objects without end.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "put-for-ever" {
		if err := putForEver(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

func putForEver(url string) error {
	ctx := context.Background()
	store, err := artifact.Open(ctx, url)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		body := bytes.Repeat([]byte(strconv.Itoa(n)+" "), 100_000)
		stored, err := store.Put(ctx, bytes.NewReader(body))
		if err != nil {
			return err
		}
		fmt.Println(stored.Digest)
	}
}
