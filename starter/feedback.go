package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"phantom/api/client"
)

func (p *program) feedbackCommand() *cobra.Command {
	var label, file, source string
	cmd := &cobra.Command{
		Use: "feedback (INFERENCE --label L | -f LABELS.csv)", Short: "Tell the true labels of inferences",
		Args: takes(0, 1, "an inference's id"),
		Long: `Tell the true labels of inferences: what a canary's accuracy is measured with. INFERENCE is the id that
came with the answer; a row of a batch is ID#ROW. The CSV file has a header: inference_id,row,label.`,
		RunE: p.does(func(ctx context.Context, args []string) error {
			request, err := p.feedbackRequest(args, label, file, source)
			if err != nil {
				return err
			}
			var raw json.RawMessage
			if err := p.call(ctx, request, &raw); err != nil {
				return err
			}
			if p.json() {
				return p.print(raw)
			}
			answer, err := decode[struct {
				Recorded int64 `json:"recorded"`
			}](raw, request.Path)
			if err != nil {
				return err
			}
			p.line("recorded %d", answer.Recorded)
			return nil
		}),
	}
	cmd.Flags().StringVar(&label, "label", "", "the true label")
	cmd.Flags().StringVarP(&file, "file", "f", "", "labels in CSV, - for standard input")
	cmd.Flags().StringVar(&source, "source", "", "who or what says so, for the audit trail")
	return cmd
}

func (p *program) feedbackRequest(args []string, label, file, source string) (client.Request, error) {
	request := client.Request{Method: http.MethodPost, Path: "/api/v1/feedback"}
	if label == "" && file == "" {
		return request, usagef("phantom feedback needs an inference's id and --label, or -f LABELS.csv")
	}
	if file != "" {
		switch {
		case len(args) > 0 || label != "":
			return request, usagef("phantom feedback takes -f, or an inference's id and --label, not both")
		case source != "":
			return request, usagef("phantom feedback -f takes no --source: a column of the file has it")
		}
		text, err := p.read(file)
		if err != nil {
			return request, err
		}
		request.Body, request.Header = bytes.NewReader(text), http.Header{"Content-Type": {"text/csv"}}
		return request, nil
	}
	if len(args) == 0 {
		return request, usagef("phantom feedback --label needs the inference's id: `phantom infer` prints it")
	}
	item := spec{"inference_id": args[0], "label": label}
	if source != "" {
		item["source"] = source
	}
	request.Body = spec{"feedback": []spec{item}}
	return request, nil
}
