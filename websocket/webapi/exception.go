package webapi

// DOMException is what a browser throws, with the standard's name for it.
type DOMException struct {
	// Name is SyntaxError, InvalidStateError, InvalidAccessError or TypeError.
	Name string
	// Message says what was wrong and what would be right.
	Message string
}

func (e *DOMException) Error() string { return "websocket: " + e.Name + ": " + e.Message }

// Is reports whether target is a DOMException of the same name, so that
// errors.Is(err, ErrSyntax) holds for every SyntaxError.
func (e *DOMException) Is(target error) bool {
	other, ok := target.(*DOMException)
	return ok && other.Name == e.Name
}

// The exceptions of this package, for errors.Is.
var (
	// ErrSyntax is for a URL, a subprotocol or a close reason that is not one.
	ErrSyntax error = &DOMException{Name: "SyntaxError"}
	// ErrInvalidState is for Send before the connection is open.
	ErrInvalidState error = &DOMException{Name: "InvalidStateError"}
	// ErrInvalidAccess is for a close code that a program may not send.
	ErrInvalidAccess error = &DOMException{Name: "InvalidAccessError"}
	// ErrType is for data that is not a string, a []byte or a Blob.
	ErrType error = &DOMException{Name: "TypeError"}
)
