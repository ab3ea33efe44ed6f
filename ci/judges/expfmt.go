// Reads an exposition on standard input with Go's expfmt, the library of Prometheus' own exporters, and writes what
// it understood as text 0.0.4. Arguments: text | protobuf. With the argument `verdicts` it reads many texts, each behind a
// line with its length in bytes, and writes a line for each: `ok`, or why it is refused.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

func main() {
	if os.Args[1] == "verdicts" {
		verdicts(bufio.NewReader(os.Stdin))
		return
	}
	families, err := read(os.Args[1], bufio.NewReader(os.Stdin))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sort.SliceStable(families, func(a, b int) bool { return families[a].GetName() < families[b].GetName() })
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(os.Stdout, family); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func read(format string, in io.Reader) ([]*dto.MetricFamily, error) {
	var families []*dto.MetricFamily
	if format == "text" {
		var parser expfmt.TextParser
		parsed, err := parser.TextToMetricFamilies(in)
		for _, family := range parsed {
			families = append(families, family)
		}
		return families, err
	}
	decoder := expfmt.NewDecoder(in, expfmt.FmtProtoDelim)
	for {
		family := &dto.MetricFamily{}
		if err := decoder.Decode(family); err == io.EOF {
			return families, nil
		} else if err != nil {
			return nil, err
		}
		families = append(families, family)
	}
}

func verdicts(in *bufio.Reader) {
	for {
		var length int
		if _, err := fmt.Fscanf(in, "%d\n", &length); err != nil {
			return
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(in, text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var parser expfmt.TextParser
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
			fmt.Println(strconv.Quote(err.Error()))
		} else {
			fmt.Println("ok")
		}
	}
}
