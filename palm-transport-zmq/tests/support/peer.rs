//! A master's socket played by hand, for one connection at a time, which may say that it knows our extensions.

use bytes::{Bytes, BytesMut};
use palm_proto::zmtp::{
    CONTROL_MAX, Connection, Decoded, EXTENSIONS, Limits, METADATA_MAX, Metadata, SocketType, frame_header,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A bound socket.
pub struct Peer {
    listener: TcpListener,
    kind: SocketType,
    metadata: Metadata,
    connection: Option<(TcpStream, Connection)>,
    received: BytesMut,
    /// Identity of who is connected.
    pub identity: Vec<u8>,
}

impl Peer {
    /// On a free port, with its address.
    pub async fn bind(kind: SocketType, extended: bool) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let mut metadata = Metadata::new();
        assert!(!extended || metadata.add(EXTENSIONS, b"1"));
        let (connection, received, identity) = (None, BytesMut::new(), Vec::new());
        (Self { listener, kind, metadata, connection, received, identity }, address)
    }

    /// Takes a connection if there is none, and shakes hands.
    pub async fn connected(&mut self) {
        if self.connection.is_some() {
            return;
        }
        let (stream, _) = self.listener.accept().await.unwrap();
        self.connection = Some((stream, Connection::new(self.kind, Limits::default())));
        while !self.connection.as_ref().unwrap().1.is_ready() {
            self.transmit().await;
            self.read().await;
        }
        self.transmit().await;
    }

    /// Closes the connection.
    pub fn hang_up(&mut self) {
        self.connection = None;
        self.received.clear();
    }

    /// Sends a message to who is connected.
    pub async fn send(&mut self, message: Bytes) {
        self.connected().await;
        let stream = &mut self.connection.as_mut().unwrap().0;
        stream.write_all(frame_header(message.len(), false).as_ref()).await.unwrap();
        stream.write_all(&message).await.unwrap();
    }

    /// The next message of who is connected.
    pub async fn recv(&mut self) -> Bytes {
        self.connected().await;
        loop {
            if let Some(message) = self.decode() {
                return message;
            }
            self.transmit().await;
            let stream = &mut self.connection.as_mut().unwrap().0;
            assert!(stream.read_buf(&mut self.received).await.unwrap() > 0, "the other side has closed the connection");
        }
    }

    async fn read(&mut self) {
        let stream = &mut self.connection.as_mut().unwrap().0;
        assert!(stream.read_buf(&mut self.received).await.unwrap() > 0);
        assert_eq!(self.decode(), None);
    }

    fn decode(&mut self) -> Option<Bytes> {
        let zmtp = &mut self.connection.as_mut().unwrap().1;
        loop {
            let used = match zmtp.handle_input(&self.received).unwrap() {
                Decoded::Incomplete { .. } => return None,
                Decoded::Frame { used, body, .. } => return Some(self.received.split_to(used).freeze().slice(body)),
                Decoded::Ready { used, identity, .. } => {
                    self.identity = self.received[identity].to_vec();
                    used
                }
                Decoded::Consumed { used } | Decoded::Subscribe { used, .. } | Decoded::Cancel { used, .. } => used,
            };
            drop(self.received.split_to(used));
            if zmtp.has_transmit() {
                return None;
            }
        }
    }

    async fn transmit(&mut self) {
        let (stream, zmtp) = self.connection.as_mut().unwrap();
        let mut control = [0; CONTROL_MAX + METADATA_MAX];
        while zmtp.has_transmit() {
            let len = zmtp.poll_transmit_with(&mut control, &self.metadata);
            stream.write_all(&control[..len]).await.unwrap();
        }
    }
}
