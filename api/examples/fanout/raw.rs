//! The floor: one thread that writes a frame, made once, to each socket, and does nothing else.

use std::io::BufRead as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::Outcome;
use crate::event;

/// A client, and what it has not taken yet.
struct Client {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// Serves as the peers do: see `peers/common.mjs`.
pub(crate) fn serve() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        let (say, mut heard) = tokio::sync::mpsc::channel(4);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                drop(say.blocking_send(line));
            }
        });
        let mut clients = Vec::new();
        let mut n_lines = 0;
        let order = loop {
            tokio::select! {
                line = heard.recv() => {
                    n_lines += 1;
                    let line = line.ok_or("an order")?;
                    if n_lines == 2 {
                        break line;
                    }
                }
                accepted = listener.accept() => clients.push(welcome(accepted?.0).await?),
            }
        };
        let (rate, n) = order.split_once(' ').ok_or("RATE N")?;
        let (rate, n): (u64, u64) = (rate.parse()?, n.parse()?);
        let (start, start_us) = (Instant::now(), event::now_us());
        for position in 0..n {
            tokio::time::sleep_until(start + Duration::from_micros(position * 1_000_000 / rate))
                .await;
            let text = event::json(position, event::due_us(start_us, position, rate));
            let frame = frame(text.as_bytes());
            for client in &mut clients {
                client.put(&frame);
            }
        }
        // Slow ones get the rest.
        for client in &mut clients {
            client.stream.write_all(&client.rest).await?;
        }
        println!("done");
        heard.recv().await;
        Ok(())
    })
}

impl Client {
    /// Writes a frame, or keeps what the socket does not take.
    fn put(&mut self, frame: &[u8]) {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(frame);
            let n = self.stream.try_write(&self.rest).unwrap_or(0);
            self.rest.drain(..n);
            return;
        }
        let n = self.stream.try_write(frame).unwrap_or(0);
        self.rest.extend_from_slice(&frame[n..]);
    }
}

/// Reads the request, whatever it is, and answers that this is a WebSocket from now on.
async fn welcome(mut stream: TcpStream) -> Outcome<Client> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut head).await?;
    }
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await?;
    Ok(Client { stream, rest: Vec::new() })
}

/// A text of between 126 and 65,535 bytes as a WebSocket's frame.
fn frame(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("an event is short");
    [&[0x81, 126][..], &length.to_be_bytes(), text].concat()
}
