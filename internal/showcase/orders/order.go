package orders

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

// Codes of what is refused. Those that name a column are the database's, but for texts with invisible characters.
const (
	codeCustomer    hub.Code = "orders.customer"
	codeItem        hub.Code = "orders.item"
	codeQuantity    hub.Code = "orders.quantity"
	codePrice       hub.Code = "orders.price"
	codeStatus      hub.Code = "orders.status"
	codeGone        hub.Code = "orders.gone"
	codeFull        hub.Code = "orders.full"
	codeLocked      hub.Code = "orders.locked"
	codeRefused     hub.Code = "orders.refused"
	codeUnavailable hub.Code = "orders.unavailable"
)

// words say what each constraint of the table means. Their names are the same in both databases.
var words = map[string]*hub.Error{
	"orders_customer": hub.Errorf(codeCustomer, "a customer has a name, of at most 80 characters"),
	"orders_item":     hub.Errorf(codeItem, "something is ordered; describe it in at most 120 characters"),
	"orders_quantity": hub.Errorf(codeQuantity, "the quantity is from 1 to 1,000"),
	"orders_price":    hub.Errorf(codePrice, "the price is from 0 to 10,000,000.00"),
	"orders_status":   hub.Errorf(codeStatus, "the status is new, paid, shipped or cancelled"),
}

// refusal says in words what a constraint of the table refuses.
func refusal(constraint string) *hub.Error {
	if known := words[constraint]; known != nil {
		return known
	}
	return hub.Errorf(codeRefused, "the database refuses this (%s)", constraint)
}

var (
	errGone   = hub.Errorf(codeGone, "somebody has deleted this order")
	errFull   = hub.Errorf(codeFull, "there are %d orders; delete one first", maxOrders)
	errLocked = hub.Errorf(codeLocked, "another program holds this order, in a transaction that has not ended; try again when it has")
)

// Order is a row of the table.
type Order struct {
	ID      int64 `json:"id"`
	Version int64 `json:"version"` // the number of the change that made it what it is
	draft
}

// draft is what people write into a row.
type draft struct {
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Quantity int64  `json:"quantity"`
	Price    int64  `json:"price"` // of one, in cents
	Status   string `json:"status"`
}

// check finds what no database should be asked to keep. Everything else is for the constraints.
func (d *draft) check() error {
	d.Customer, d.Item = strings.TrimSpace(d.Customer), strings.TrimSpace(d.Item)
	for _, text := range []struct {
		value      string
		constraint string
	}{{d.Customer, "orders_customer"}, {d.Item, "orders_item"}, {d.Status, "orders_status"}} {
		if !utf8.ValidString(text.value) || strings.ContainsFunc(text.value, invisible) {
			return refusal(text.constraint)
		}
	}
	return nil
}

// invisible are characters that break a line or turn the direction of what follows.
func invisible(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// Change is something that has happened to the table, as it is published.
type Change struct {
	Version int64     `json:"version"` // its number; of changes to one row, what came later has a higher one
	Op      string    `json:"op"`      // "add", "change", "remove"; or "reset": anything may have changed, read the list again
	ID      int64     `json:"id"`      // of the order
	Place   string    `json:"place"`   // the table
	Was     *draft    `json:"was,omitempty"`
	Now     *draft    `json:"now,omitempty"`
	By      string    `json:"by,omitempty"`      // who did it through this server, or
	Program string    `json:"program,omitempty"` // what else did it, if the database knows
	Time    time.Time `json:"time"`
}

// row is how triggers write down a row: the names are those of the columns.
type row struct {
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Quantity int64  `json:"quantity"`
	Price    int64  `json:"price_cents"`
	Status   string `json:"status"`
}

// readRow returns what a trigger has written down, or nil if that is nothing.
func readRow(text *string) (*draft, error) {
	if text == nil {
		return nil, nil
	}
	var r row
	if err := json.Unmarshal([]byte(*text), &r); err != nil {
		return nil, err
	}
	d := draft(r)
	return &d, nil
}

// encode is json.Marshal without escapes for HTML, which nothing here is.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimSpace(b.Bytes()), err
}
