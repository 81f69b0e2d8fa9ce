//! A server that can be out of reach: a door before it that is shut and opened again.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The door before a server.
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    /// Opens one before the server at `to`, such as `127.0.0.1:9000`.
    pub fn before(to: &str) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let door = Door {
            address: listener.local_addr().expect("an address"),
            open: Arc::new(AtomicBool::new(true)),
            streams: Arc::default(),
        };
        let (open, streams, to) = (door.open.clone(), door.streams.clone(), to.to_owned());
        std::thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                if !open.load(Ordering::Acquire) {
                    continue;
                }
                let outside = TcpStream::connect(&to).expect("the server behind the door");
                for (from, to) in [(&inside, &outside), (&outside, &inside)] {
                    let (mut from, mut to) = (twin(from), twin(to));
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                let mut streams = streams.lock().expect("no holder panics");
                streams.extend([inside, outside]);
            }
        });
        door
    }

    /// Shuts it: what is under way is cut off, and nothing comes through.
    pub fn shut(&self) {
        self.open.store(false, Ordering::Release);
        for stream in self.streams.lock().expect("no holder panics").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Opens it again.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }
}

fn twin(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a second handle")
}
