package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	waltypes "github.com/hashicorp/raft-wal/types"
)

const (
	segmentsDir = "wal"
	// segmentSize is what a file of the log is made with. A node keeps about 80,000 entries, most of them small, so one or
	// two files hold them, and a node on a small disk is not asked for the library's 64 MiB at once.
	segmentSize = 16 << 20
)

// segments is a log of raft-wal: files that are only appended to, one sync for each append where bbolt takes two.
type segments struct {
	*wal.WAL
}

// openSegments opens (or makes) the log below a data directory. Whoever calls it holds the directory's lock, which
// raft-wal would wait for without end.
func openSegments(dir string, size int, logger hclog.Logger) (*segments, error) {
	dir = filepath.Join(dir, segmentsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	log, err := wal.Open(dir, wal.WithLogger(logger), wal.WithSegmentSize(size), wal.WithSegmentFiler(segment.NewFiler(dir, segmentFiles{walfs.New()})))
	if err != nil {
		return nil, corrupted("the log", fmt.Errorf("open the log in %s: %w", dir, err))
	}
	return &segments{log}, nil
}

var _ raft.LogStore = (*segments)(nil)

// segmentFiles are raft-wal's files with two differences: what is appended is synced without the times of the file, and
// the file that was being written when the process ended is mended before it is read.
type segmentFiles struct{ *walfs.FS }

// Create makes a file of the full size, so that later syncs need not write its length.
func (s segmentFiles) Create(dir, name string, size uint64) (waltypes.WritableFile, error) {
	created, err := s.FS.Create(dir, name, size)
	if err != nil {
		return nil, err
	}
	f, ok := created.(*walfs.File)
	if !ok {
		return nil, errors.Join(fmt.Errorf("raft-wal made a %T", created), created.Close())
	}
	return &segmentFile{File: &f.File, first: f.Sync}, nil
}

// OpenWriter opens the file that is appended to.
func (s segmentFiles) OpenWriter(dir, name string) (waltypes.WritableFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := mend(f); err != nil {
		return nil, errors.Join(fmt.Errorf("mend %s: %w", name, err), f.Close())
	}
	return &segmentFile{File: f, first: f.Sync}, nil
}

// segmentFile is one file of the log.
type segmentFile struct {
	*os.File
	first func() error // the first sync, which also makes the name of the file durable; nil after it
}

// Sync makes what was written durable.
func (f *segmentFile) Sync() error {
	if f.first == nil {
		return syncData(f.File)
	}
	err := f.first()
	if err == nil {
		f.first = nil
	}
	return err
}

// The frames of raft-wal's format 0: a header of kind, three zeros and a length (of a commit: the CRC of everything since
// the commit before it), the content, zeros up to a multiple of eight.
const (
	fileHeader  = 32
	entryHeader = 8
	kindEntry   = 1
	kindIndex   = 2
	kindCommit  = 3
)

// mend makes a file that was being written when the process ended fit for raft-wal (v0.4.2), which has two gaps there.
//
// It checks one append at most, and takes what an earlier torn append left behind it for proof that this one is whole. So
// whatever follows the last whole append is overwritten with zeros. Only an append that nobody was told of can be torn:
// a whole one behind a broken one means that the disk lost data, and the log is refused.
//
// And a file that is full ends with an index. If the process ended before the next file was entered in the table of files,
// raft-wal never appends again. The last append is therefore given the commit it would have without the index, in the place
// where the index began; the next append fills the file once more.
func mend(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return err
	}
	end, commit, err := wholeUpTo(content)
	if err != nil {
		return err
	}
	if commit != nil { // before the index goes: without either, the append would be lost
		if _, err := f.WriteAt(commit, end-entryHeader); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	rest := content[end:]
	if len(bytes.TrimLeft(rest, "\x00")) == 0 {
		return nil
	}
	clear(rest)
	if _, err := f.WriteAt(rest, end); err != nil {
		return err
	}
	return f.Sync()
}

// wholeUpTo returns where the last whole append ends. commit is not nil if that append has an index: then its end is where
// this commit ends, which belongs in front of it.
func wholeUpTo(content []byte) (end int64, commit []byte, err error) {
	began, index, broken := 0, 0, false
	for at := fileHeader; at+entryHeader <= len(content); {
		kind, number := content[at], binary.LittleEndian.Uint32(content[at+4:])
		switch kind {
		case kindEntry, kindIndex:
			if kind == kindIndex && index == 0 {
				index = at
			}
			if number > uint32(len(content)) {
				return end, nil, nil
			}
			at += entryHeader + (int(number)+7)&^7
		case kindCommit:
			whole := number == checksum(content[began:at])
			if whole && broken {
				return 0, nil, fmt.Errorf("what was written at byte %d is damaged, and entries behind it are not: the disk lost data; "+
					"take this server out of the cluster and start it with an empty data directory", end)
			}
			at += entryHeader
			broken = broken || !whole
			if !broken {
				end = int64(at)
				if index != 0 {
					commit = binary.LittleEndian.AppendUint32([]byte{kindCommit, 0, 0, 0}, checksum(content[began:index]))
					return int64(index + entryHeader), commit, nil
				}
			}
			began, index = at, 0
		default:
			return end, nil, nil
		}
	}
	return end, nil, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
