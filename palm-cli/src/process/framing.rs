//! How messages go to and from a long-lived program.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::ProgramError;

/// The bit of a length that says: what follows is not a result but why there is none.
const FAILURE: u32 = 1 << 31;

/// How a message is told from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Framing {
    /// One line for a message, one line for its result
    Lines,
    /// Four bytes, big-endian, that give the length of what follows; the highest bit of an answer's length says that a text
    /// follows which says why it failed
    Length,
}

/// What came back for a message.
#[derive(Debug)]
pub(super) enum Answer {
    /// A result, or the program's word that there is none.
    Result(Result<Vec<u8>, ProgramError>),
    /// The program has closed its output.
    Closed,
}

impl Framing {
    /// Writes one message.
    ///
    /// # Errors
    /// [`ProgramError::LineBreakInPayload`] before anything is written; else if writing fails.
    pub(super) async fn write(self, to: &mut (impl AsyncWrite + Unpin), payload: &[u8]) -> Result<(), ProgramError> {
        let io = match self {
            Self::Lines if payload.contains(&b'\n') => return Err(ProgramError::LineBreakInPayload),
            Self::Lines => {
                // In one piece, so that a program that reads what there is sees a whole line.
                let line = [payload, b"\n"].concat();
                to.write_all(&line).await
            }
            Self::Length => {
                let Some(length) = u32::try_from(payload.len()).ok().filter(|length| length & FAILURE == 0) else {
                    return Err(ProgramError::Refused("the payload is longer than 2 GiB".to_owned()));
                };
                match to.write_all(&length.to_be_bytes()).await {
                    Ok(()) => to.write_all(payload).await,
                    failed => failed,
                }
            }
        };
        match io {
            Ok(()) => to.flush().await.map_err(ProgramError::Io),
            Err(error) => Err(ProgramError::Io(error)),
        }
    }

    /// Reads one answer of at most `most` bytes.
    ///
    /// # Errors
    /// If it is longer, or reading fails: the program cannot be spoken to any more.
    pub(super) async fn read<R: AsyncRead + Unpin>(
        self,
        from: &mut BufReader<R>,
        most: usize,
    ) -> Result<Answer, ProgramError> {
        match self {
            Self::Lines => {
                let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
                let mut line = Vec::new();
                from.take(limit).read_until(b'\n', &mut line).await.map_err(ProgramError::Io)?;
                match line.pop() {
                    Some(b'\n') => Ok(Answer::Result(Ok(line))),
                    Some(_) if line.len() >= most => Err(ProgramError::ResultTooLong(most)),
                    Some(_) | None => Ok(Answer::Closed),
                }
            }
            Self::Length => {
                let mut header = [0; 4];
                match from.read_exact(&mut header).await {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Answer::Closed),
                    Err(error) => return Err(ProgramError::Io(error)),
                }
                let header = u32::from_be_bytes(header);
                let length = usize::try_from(header & !FAILURE).unwrap_or(usize::MAX);
                if length > most {
                    return Err(ProgramError::ResultTooLong(most));
                }
                // Grows as bytes come, not as they are announced.
                let mut body = Vec::new();
                let wanted = u64::try_from(length).unwrap_or(u64::MAX);
                from.take(wanted).read_to_end(&mut body).await.map_err(ProgramError::Io)?;
                Ok(match () {
                    () if body.len() < length => Answer::Closed,
                    () if header & FAILURE == 0 => Answer::Result(Ok(body)),
                    () => Answer::Result(Err(ProgramError::Refused(String::from_utf8_lossy(&body).into_owned()))),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(framing: Framing, bytes: &[u8], most: usize) -> String {
        match framing.read(&mut BufReader::new(bytes), most).await {
            Ok(Answer::Result(Ok(result))) => format!("result {}", String::from_utf8_lossy(&result)),
            Ok(Answer::Result(Err(error))) => format!("failure {error}"),
            Ok(Answer::Closed) => "closed".to_owned(),
            Err(error) => format!("broken {error}"),
        }
    }

    #[tokio::test]
    async fn lines() {
        assert_eq!(read(Framing::Lines, b"abc\ndef", 3).await, "result abc");
        assert_eq!(read(Framing::Lines, b"\n", 3).await, "result ");
        assert_eq!(read(Framing::Lines, b"abc", 9).await, "closed");
        assert!(read(Framing::Lines, b"abcd\n", 3).await.starts_with("broken"));
        let mut out = Vec::new();
        assert!(matches!(Framing::Lines.write(&mut out, b"a\nb").await, Err(ProgramError::LineBreakInPayload)));
        Framing::Lines.write(&mut out, b"ab").await.unwrap();
        assert_eq!(out, b"ab\n");
    }

    #[tokio::test]
    async fn lengths() {
        assert_eq!(read(Framing::Length, b"\0\0\0\x03abcdef", 3).await, "result abc");
        assert_eq!(read(Framing::Length, b"\x80\0\0\x02no", 3).await, "failure no");
        assert_eq!(read(Framing::Length, b"\0\0\0\x03ab", 3).await, "closed");
        assert_eq!(read(Framing::Length, b"\0\0", 3).await, "closed");
        assert!(read(Framing::Length, b"\x7f\xff\xff\xff", 3).await.starts_with("broken"));
        let mut out = Vec::new();
        Framing::Length.write(&mut out, b"a\nb").await.unwrap();
        assert_eq!(out, b"\0\0\0\x03a\nb");
    }
}
