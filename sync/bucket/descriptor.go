package bucket

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// descriptorKey is the user metadata of a name object that holds the descriptor of the layout's own
// manifest, as compact JSON.
const descriptorKey = "oci-descriptor"

// maxMetadata is S3's limit for the keys and values of an object's user metadata together, in bytes. Some
// servers (MinIO) count the prefix of the header as well.
const maxMetadata = 2048 - len("x-amz-meta-")

// encodeDescriptor makes metadata of d: ASCII, because that is all that a header surely carries. A
// descriptor that does not fit loses its annotations, the largest first (dropped names them): they are
// for people, while the descriptor's digest is what another mount needs to show the very same bytes.
func encodeDescriptor(d ocispec.Descriptor) (value string, dropped []string, err error) {
	for {
		b, err := json.Marshal(d)
		if err != nil {
			return "", nil, fmt.Errorf("encode the descriptor %s: %w", d.Digest, err)
		}
		value = ascii(string(b))
		if len(descriptorKey)+len(value) <= maxMetadata {
			return value, dropped, nil
		}
		key := largest(d.Annotations)
		if key == "" {
			return "", nil, fmt.Errorf("the descriptor %s takes %d bytes, and metadata holds %d", d.Digest, len(value), maxMetadata)
		}
		d.Annotations = without(d.Annotations, key)
		dropped = append(dropped, key)
	}
}

// largest is the annotation that takes most bytes; of equals the first by name. It is "" if there is none.
func largest(annotations map[string]string) string {
	best, size := "", -1
	for k, v := range annotations {
		if n := len(ascii(k)) + len(ascii(v)); n > size || (n == size && k < best) {
			best, size = k, n
		}
	}
	return best
}

func without(annotations map[string]string, key string) map[string]string {
	rest := make(map[string]string, len(annotations))
	for k, v := range annotations {
		if k != key {
			rest[k] = v
		}
	}
	return rest
}

// ascii writes the runes of JSON that are not ASCII as \uXXXX. In JSON they stand only inside strings,
// where that means the same. DEL is no printable ASCII, and headers refuse it.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}

// decodeDescriptor reads the metadata of a name object; nil if there is none or it is not ours to read.
func decodeDescriptor(metadata map[string]string) *ocispec.Descriptor {
	for key, value := range metadata {
		if !strings.EqualFold(key, descriptorKey) {
			continue
		}
		var d ocispec.Descriptor
		if json.Unmarshal([]byte(value), &d) == nil && d.Digest.Validate() == nil && d.Size >= 0 {
			return &d
		}
	}
	return nil
}
