package main

// The key services that PHANTOM_KEYS_URL may name besides a local key file and base64key://.
import (
	_ "gocloud.dev/secrets/awskms"
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
)
