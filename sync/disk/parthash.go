package disk

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// advance hashes on in the background, if the next chunk is there. A download that comes in order is
// hashed as it comes, from the page cache, and no chunk is hashed twice. With p.mu held.
func (p *Part) advance() {
	if p.hashing != nil || !p.hashable() {
		return
	}
	p.hashing = make(chan struct{})
	go p.hashOn()
}

func (p *Part) hashable() bool {
	return !p.closed && p.hashErr == nil && p.hashed < p.Chunks() && p.chunks.has(p.hashed)
}

// hashOn hashes chunk after chunk until one is not there.
func (p *Part) hashOn() {
	buf := p.store.buffers.Get().(*[]byte)
	defer p.store.buffers.Put(buf)
	for {
		p.mu.Lock()
		chunk := p.hashed
		if !p.hashable() {
			close(p.hashing)
			p.hashing = nil
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		b := (*buf)[:p.length(chunk)]
		_, err := p.file.ReadAt(b, int64(chunk)*ChunkSize)
		if err == nil {
			p.sum.Write(b)
		}
		p.mu.Lock()
		if p.hashErr = err; err == nil {
			p.hashed++
		}
		p.mu.Unlock()
	}
}

// digestOf waits until all of a complete Part is hashed.
func (p *Part) digestOf(ctx context.Context) (digest.Digest, error) {
	p.mu.Lock()
	p.hashErr = nil // what could not be read may be readable now
	p.advance()
	busy := p.hashing
	p.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hashErr != nil {
		return "", p.hashErr
	}
	if p.hashed < p.Chunks() {
		return "", errAbsent // closed meanwhile
	}
	return digest.NewDigest(p.digest.Algorithm(), p.sum), nil
}
