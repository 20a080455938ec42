package rules

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// way is how a rule queues packets.
type way uint8

const (
	wayNative way = iota // the queue expression of nftables: CONFIG_NFT_QUEUE
	wayCompat            // target NFQUEUE of xtables: CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE
)

func (w way) String() string {
	return [...]string{"nft queue expression", "xt target NFQUEUE through nft_compat"}[w]
}

// queue sends packets to count queues from first on. The kernel spreads them by a
// hash of the address pair that is the same for both directions; spreading by CPU
// would not be. With bypass a queue that nobody listens to accepts.
type queue struct {
	first, count uint16
}

func (q *queue) String() string {
	if q.count == 1 {
		return fmt.Sprintf("queue num %d bypass", q.first)
	}
	return fmt.Sprintf("queue num %d-%d bypass", q.first, q.first+q.count-1)
}

func (q *queue) expr(w way) expr.Any {
	if w == wayNative {
		return &expr.Queue{Num: q.first, Total: q.count, Flag: expr.QueueFlagBypass}
	}
	// struct xt_NFQ_info_v3: u16 queuenum, queues_total, flags in host order, padded
	// to the alignment of u64.
	const flagBypass = 1
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info[0:], q.first)
	binary.NativeEndian.PutUint16(info[2:], q.count)
	binary.NativeEndian.PutUint16(info[4:], flagBypass)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}
