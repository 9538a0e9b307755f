package training

import (
	"crypto/sha256"
	"encoding/binary"
)

// SplitRowHash names the split that Split makes, for domain.DatasetInfo.
const SplitRowHash = "row-hash 80/20"

// HeldOut reports whether a row is kept back from learning. It depends on nothing but the bytes of the
// row's line, without its line end: one row in five, whatever the file, its order or the version. Equal
// rows fall on the same side, so none is learned and asked.
func HeldOut(line []byte) bool {
	sum := sha256.Sum256(line)
	return binary.BigEndian.Uint64(sum[:8])%5 == 0
}

// Split parts a table into the rows to learn from and the rows held out, both in the file's order.
func Split(t *Table) (train, heldOut *Table) {
	train = &Table{Columns: t.Columns}
	heldOut = &Table{Columns: t.Columns}
	for i, row := range t.Rows {
		part := train
		if t.heldOut[i] {
			part = heldOut
		}
		part.Rows = append(part.Rows, row)
		part.Labels = append(part.Labels, t.Labels[i])
		part.heldOut = append(part.heldOut, t.heldOut[i])
	}
	return train, heldOut
}
