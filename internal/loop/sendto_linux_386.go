package loop

// sysSendto is sendto's number since Linux 4.3; package syscall has only the
// older socketcall here.
const sysSendto = 369
