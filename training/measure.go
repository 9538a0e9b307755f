package training

// Measure returns accuracy and the macro averages of precision, recall and f1 of a confusion matrix
// [true][predicted], as scikit-learn computes them: over the classes that occur as true or predicted, where
// a ratio without a denominator counts as 0.
func Measure(confusion [][]int64) map[string]float64 {
	var hits, rows, precision, recall, f1, classes float64
	for c := range confusion {
		hit := float64(confusion[c][c])
		var truth, predicted float64
		for other := range confusion {
			truth += float64(confusion[c][other])
			predicted += float64(confusion[other][c])
		}
		hits += hit
		rows += truth
		if truth+predicted == 0 {
			continue
		}
		classes++
		precision += ratio(hit, predicted)
		recall += ratio(hit, truth)
		f1 += ratio(2*hit, truth+predicted)
	}
	return map[string]float64{
		"accuracy": ratio(hits, rows), "precision": ratio(precision, classes),
		"recall": ratio(recall, classes), "f1": ratio(f1, classes),
	}
}

func ratio(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}
