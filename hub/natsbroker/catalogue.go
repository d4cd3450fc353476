package natsbroker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/duplex-websocket/duplex/hub"
)

// maxCatalogued is how many topics one Catalogue looks at.
const maxCatalogued = 2_000_000

var _ hub.Cataloguer = (*Broker)(nil)

// Catalogue implements hub.Cataloguer. It counts what the stream has, and does not tell offsets: each would be a question of its own. The
// stream's leader looks at all topics that match, and tells 100,000 at a time, so it is for operators, with patterns. Beyond 2,000,000 topics it
// fails.
func (b *Broker) Catalogue(ctx context.Context, pattern, after string, limit int) (topics []hub.TopicInfo, more bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	for offset, total := 0, 1; offset < total; {
		if offset >= maxCatalogued {
			return nil, false, hub.Errorf(hub.CodeTooLarge, "more than %d topics match %s; ask for fewer", maxCatalogued, pattern)
		}
		page, err := b.subjects(bounded, b.names.stored+pattern, offset)
		if err != nil {
			if ctx.Err() != nil {
				return nil, false, ctx.Err()
			}
			return nil, false, unavailable("the topics cannot be listed", err)
		}
		for subject, messages := range page.State.Subjects {
			name := strings.TrimPrefix(subject, b.names.stored)
			if name > after && hub.Match(pattern, name) {
				topics = append(topics, hub.TopicInfo{Name: name, Messages: int(messages)})
			}
		}
		slices.SortFunc(topics, func(a, b hub.TopicInfo) int { return cmp.Compare(a.Name, b.Name) })
		if len(topics) > limit {
			topics, more = slices.Clone(topics[:limit]), true
		}
		if len(page.State.Subjects) == 0 {
			break // some have gone meanwhile
		}
		offset, total = offset+len(page.State.Subjects), page.Total
	}
	return topics, more, nil
}

// subjectsPage is an answer of JetStream about a stream and some of its subjects.
type subjectsPage struct {
	Total int `json:"total"`
	State struct {
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
}

func (b *Broker) subjects(ctx context.Context, filter string, offset int) (page subjectsPage, err error) {
	request, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
	if err != nil {
		return page, err
	}
	answer, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+b.names.stream, request)
	if err != nil {
		return page, err
	}
	if err := json.Unmarshal(answer.Data, &page); err != nil {
		return page, fmt.Errorf("an answer of NATS: %w", err)
	}
	if page.Error != nil {
		return page, errors.New(page.Error.Description)
	}
	return page, nil
}
