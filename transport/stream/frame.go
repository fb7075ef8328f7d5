package stream

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// Frame is one encoded hoist.v1.FollowResponse, shared by every follower that gets it.
type Frame struct {
	envelope []byte // as Connect sends it: no flags, the length in four bytes, bytes
	bytes    []byte // the protobuf encoding
	from     uint64 // a difference applies to followers at from ≤ own < to; snapshots and marks have from 0
	to       uint64 // where the follower is afterwards, once last is true
	last     bool   // the frame completes its snapshot or difference

	once sync.Once
	json []byte
	err  error
}

// envelopeHead is what stands before a message of a Connect stream.
const envelopeHead = 5

// Envelope is the frame as a Connect stream in protobuf carries it, ready to be written. It is shared: do not change it.
func (f *Frame) Envelope() []byte { return f.envelope }

// Size is the length of the encoded frame.
func (f *Frame) Size() int { return len(f.bytes) }

// Revision is where a follower stands after this frame, provided that it completes a snapshot or difference.
func (f *Frame) Revision() uint64 { return f.to }

// asJSON is the protojson form, made when the first follower that wants it arrives.
func (f *Frame) asJSON() ([]byte, error) {
	f.once.Do(func() {
		var m hoistv1.FollowResponse
		if f.err = proto.Unmarshal(f.bytes, &m); f.err == nil {
			f.json, f.err = protojson.Marshal(&m)
		}
	})
	return f.json, f.err
}

// Codec lets Connect, gRPC and gRPC-Web send frames that are encoded already. Other messages are treated as usual.
type Codec struct{ name string }

// Codecs returns the codecs that replace the standard ones of a handler whose responses are frames.
func Codecs() (binary, json Codec) { return Codec{"proto"}, Codec{"json"} }

// Name is the name of the standard codec that this one replaces: proto or json.
func (c Codec) Name() string { return c.name }

// Marshal encodes a message, or returns a frame's own bytes.
func (c Codec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend appends the encoding of a message, or a frame's bytes, to dst.
func (c Codec) MarshalAppend(dst []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *Frame:
		if c.name == "proto" {
			return append(dst, m.bytes...), nil
		}
		text, err := m.asJSON()
		return append(dst, text...), err
	case proto.Message:
		if c.name == "proto" {
			return proto.MarshalOptions{}.MarshalAppend(dst, m)
		}
		return protojson.MarshalOptions{}.MarshalAppend(dst, m)
	}
	return nil, fmt.Errorf("stream: cannot encode %T", message)
}

// Unmarshal decodes a request.
func (c Codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("stream: cannot decode into %T", message)
	}
	if c.name == "proto" {
		return proto.Unmarshal(data, m)
	}
	return protojson.UnmarshalOptions{DiscardUnknown: false}.Unmarshal(data, m)
}
