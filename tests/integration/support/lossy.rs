//! A proxy before Postgres that loses one connection, while a publish is committed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The commit never arrives.
    Request,
    /// The commit is done, and nobody is told.
    Reply,
}

/// Starts a proxy before a server on this machine; gives its port. It ends with the process.
pub fn proxy(server: u16, loss: Loss) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let has_lost = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", server)).expect("the server");
            let has_lost = Arc::clone(&has_lost);
            std::thread::spawn(move || connect(&client, &server, loss, &has_lost));
        }
    });
    port
}

/// Carries what both say, until one ends or the commit of a publish comes by for the first time.
fn connect(client: &TcpStream, server: &TcpStream, loss: Loss, has_lost: &AtomicBool) {
    let is_cut = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            carry(server, client, |_| !is_cut.load(Ordering::SeqCst));
            end(client, server);
        });
        let mut before = Vec::new();
        carry(client, server, |said| {
            let is_commit = said.ends_with(b"commit\0") && holds(&before, b"beat = beat + 1");
            before = said.to_vec();
            if is_commit && !has_lost.swap(true, Ordering::SeqCst) {
                is_cut.store(true, Ordering::SeqCst);
                return loss == Loss::Reply;
            }
            true
        });
        // The reply to a commit that is let through is what ends it.
        if !is_cut.load(Ordering::SeqCst) || loss == Loss::Request {
            end(client, server);
        }
    });
}

/// Carries one side's words as long as they pass.
fn carry(mut from: &TcpStream, mut to: &TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut said = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut said) {
        if !passes(&said[..length]) || to.write_all(&said[..length]).is_err() {
            return;
        }
    }
}

fn end(client: &TcpStream, server: &TcpStream) {
    // One that is gone already has ended.
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
