//! The resolver and the routes of mail on the suites' own DNS: on virtual time, and over loopback
//! sockets.

mod asker;
mod peers;
mod sockets;
mod virtual_time;

/// What the suites here ask for.
const RECORDS: &str = "
    example.com MX 20 mx2.example.com
    example.com MX 10 mx1.example.com
    mx1.example.com A 192.0.2.1
    mx1.example.com AAAA 2001:db8::1
    mx2.example.com CNAME host.example.net
    host.example.net A 192.0.2.2
    example.com 60 TXT v=spf1 mx -all
    null.example MX 0 .
    small.example A 192.0.2.3
    _25._tcp.mx1.example.com TLSA 3 1 1 0123456789abcdef
    1.2.0.192.in-addr.arpa PTR mx1.example.com
";
