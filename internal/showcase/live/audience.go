package live

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// A simulated audience says so much for so long; a node has only so many.
const (
	crowdPause = 40 * time.Millisecond // between two comments: 1,500 a minute
	crowdTime  = time.Minute
	maxCrowds  = 4
)

const codeTooManyCrowds hub.Code = "live.too-many-crowds"

var (
	crowdNames = []string{"Mia", "Noah", "小雨", "Lina", "阿哲", "Tom", "Yuki", "大鹏", "Sara", "Omar", "静静", "Leo", "Ida", "老王", "Eva", "Kofi"}
	crowdTexts = []string{
		"hello from Oslo", "前排占座", "so smooth", "这画质可以", "哈哈哈哈", "what a shot!", "again, please", "第一次来", "6666", "can you see me?",
		"greetings to everybody who watches this late at night", "弹幕护体", "how is this so fast", "太好看了吧", "👏👏👏", "wow", "来了来了",
		"is it raining there?", "主播加油！今天的状态真不错", "love the colours", "下次什么时候直播", "LOL", "nice", "🎉", "说得对", "+1",
	}
)

type audienceQuestion struct {
	Channel string `json:"channel"`
	On      bool   `json:"on"`
}

// audience has a simulated audience comment on a channel for a minute, at the wish of its broadcaster or an operator.
func (l *live) audience(ctx context.Context, r *hub.Request, q audienceQuestion) (struct{}, error) {
	if err := checkName(q.Channel); err != nil {
		return struct{}{}, err
	}
	c, err := l.channels.get(ctx, q.Channel)
	if err != nil {
		return struct{}{}, err
	}
	if c.User != r.Identity.User || !c.Live {
		if err := l.env.Operators.Check(r.Session); err != nil {
			return struct{}{}, err
		}
	}
	l.crowdMu.Lock()
	defer l.crowdMu.Unlock()
	end, there := l.crowds[q.Channel]
	switch {
	case !q.On:
		if there {
			end()
		}
	case !c.Live:
		return struct{}{}, hub.Errorf(codeNotLive, "nobody broadcasts on %s now", q.Channel)
	case !there && len(l.crowds) >= maxCrowds:
		return struct{}{}, hub.Errorf(codeTooManyCrowds, "there are %d simulated audiences already: wait a minute", maxCrowds)
	case !there:
		watching, leave := context.WithTimeout(context.Background(), crowdTime)
		l.crowds[q.Channel] = leave
		l.audiences.Go(func() { l.cheer(watching, q.Channel) })
	}
	return struct{}{}, nil
}

// cheer comments until ctx or the broadcast ends.
func (l *live) cheer(ctx context.Context, name string) {
	defer func() {
		l.crowdMu.Lock()
		defer l.crowdMu.Unlock()
		l.crowds[name]()
		delete(l.crowds, name)
	}()
	tick := time.NewTicker(crowdPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		c, err := l.channels.get(ctx, name)
		if err != nil || !c.Live {
			return
		}
		if _, err := showcase.JSON(ctx, l.env.Hub, topic(kindComments, name), "", invent()); err != nil {
			return
		}
	}
}

// invent makes up a comment. One in thirty stands at the top.
func invent() comment {
	c := comment{
		Text: crowdTexts[rand.IntN(len(crowdTexts))], Name: crowdNames[rand.IntN(len(crowdNames))],
		Color: colors[0], Mode: modes[0],
	}
	if rand.IntN(3) == 0 {
		c.Color = colors[rand.IntN(len(colors))]
	}
	if rand.IntN(30) == 0 {
		c.Mode = modes[1]
	}
	return c
}
