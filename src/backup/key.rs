//! Keys: a data key per service, wrapped by the operator's master key. Always: a wrapped key opens only under
//! the master key and the service that it was made for, and no key is printed.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use sha2::{Digest, Sha256};

use super::Error;

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of the nonce before a wrapped key.
const NONCE_LEN: usize = 12;

/// The operator's key. It encrypts data keys and nothing else.
pub struct MasterKey([u8; KEY_LEN]);

impl MasterKey {
    /// Reads the text of a key file: 64 hexadecimal digits, white space around them.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut key = [0; KEY_LEN];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| Error::KeyText)?;
        Ok(Self(key))
    }

    /// The data key, encrypted: what is stored beside the backups of `service`.
    pub fn wrap(&self, key: &DataKey, service: &str) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let payload = Payload {
            msg: &key.0,
            aad: service.as_bytes(),
        };
        let sealed = Aes256Gcm::new(&self.0.into())
            .encrypt(&nonce.into(), payload)
            .map_err(|_| Error::WrongKey(service.into()))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The data key of `service`. Fails where another master key wrapped it, or for another service.
    pub fn unwrap(&self, wrapped: &[u8], service: &str) -> Result<DataKey, Error> {
        let wrong = || Error::WrongKey(service.into());
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let payload = Payload {
            msg: sealed,
            aad: service.as_bytes(),
        };
        let key = Aes256Gcm::new(&self.0.into())
            .decrypt(&(*nonce).into(), payload)
            .map_err(|_| wrong())?;
        Ok(DataKey(key.try_into().map_err(|_| wrong())?))
    }
}

/// The key of one service's archive.
#[derive(Clone)]
pub struct DataKey([u8; KEY_LEN]);

impl DataKey {
    /// A key by chance.
    pub fn fresh() -> Self {
        Self(rand::random())
    }

    /// The key of one object with `salt`, so that no two objects share a key and nonces may count from zero.
    pub(super) fn derive(&self, salt: &[u8; 32]) -> [u8; KEY_LEN] {
        // Inputs of one fixed length and a secret output: a plain hash serves as the function here.
        Sha256::new()
            .chain_update(self.0)
            .chain_update(salt)
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_master_key_and_service_open() {
        let (master, other) = (MasterKey([1; 32]), MasterKey([2; 32]));
        let key = DataKey::fresh();
        let wrapped = master.wrap(&key, "a").unwrap();
        assert_eq!(master.unwrap(&wrapped, "a").unwrap().0, key.0);
        assert!(matches!(
            other.unwrap(&wrapped, "a"),
            Err(Error::WrongKey(_))
        ));
        assert!(matches!(
            master.unwrap(&wrapped, "b"),
            Err(Error::WrongKey(_))
        ));
        assert!(matches!(
            master.unwrap(&wrapped[..5], "a"),
            Err(Error::WrongKey(_))
        ));
    }

    #[test]
    fn a_key_file_is_64_digits() {
        assert!(MasterKey::parse(&format!(" {}\n", "0f".repeat(32))).is_ok());
        assert!(matches!(MasterKey::parse("0f"), Err(Error::KeyText)));
    }
}
