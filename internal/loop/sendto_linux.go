//go:build !386

package loop

import "syscall"

const sysSendto = syscall.SYS_SENDTO
