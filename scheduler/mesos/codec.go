package mesos

import (
	"bytes"
	"fmt"

	"github.com/mesos/mesos-go/api/v1/lib/encoding"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/framing"
)

func codecFor(e Encoding) (encoding.Codec, error) {
	switch e {
	case Protobuf:
		return codecs.ByMediaType[codecs.MediaTypeProtobuf], nil
	case JSON:
		return codecs.ByMediaType[codecs.MediaTypeJSON], nil
	}
	return encoding.Codec{}, fmt.Errorf("encoding: %q is neither %q nor %q", e, Protobuf, JSON)
}

func encode(c encoding.Codec, m encoding.Marshaler) ([]byte, error) {
	var buf bytes.Buffer
	err := c.NewEncoder(encoding.SinkWriter(&buf)).Encode(m)
	return buf.Bytes(), err
}

// decode fills m. The generated decoders of that age can panic on hostile input
// (CVE-2021-3121); a broken frame must cost a subscription, not the process.
func decode(c encoding.Codec, frame []byte, m encoding.Unmarshaler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed message: %v", p)
		}
	}()
	source := func() framing.Reader {
		return framing.ReaderFunc(func() ([]byte, error) { return frame, nil })
	}
	return c.NewDecoder(source).Decode(m)
}
