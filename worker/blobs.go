package main

// The object stores that PHANTOM_ARTIFACTS_URL may name besides file://.
import (
	_ "gocloud.dev/blob/azureblob"
	_ "gocloud.dev/blob/gcsblob"
	_ "gocloud.dev/blob/s3blob"
)
