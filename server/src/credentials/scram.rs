//! The cryptography of SCRAM-SHA-256 (RFC 5802 §3, RFC 7677) for the client's side.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use rmail_proto::smtp::client::{Reply, ScramInput};

const BYTES: usize = digest::SHA256_OUTPUT_LEN;

/// Answers [`Call::Scram`](rmail_proto::smtp::client::Call::Scram). Blocking work: a million
/// iterations, the most that are taken on, are some hundred milliseconds of processor time.
///
/// ```text
/// SaltedPassword  := Hi(Normalize(password), salt, i)
/// ClientKey       := HMAC(SaltedPassword, "Client Key")
/// StoredKey       := H(ClientKey)
/// ClientProof     := ClientKey XOR HMAC(StoredKey, AuthMessage)
/// ServerKey       := HMAC(SaltedPassword, "Server Key")
/// ServerSignature := HMAC(ServerKey, AuthMessage)
/// ```
pub fn answer_scram(input: &ScramInput) -> Reply {
    let iterations = NonZeroU32::new(input.iterations).unwrap_or(NonZeroU32::MIN);
    let password = input.password.reveal().as_bytes();
    let mut salted_password = zeroize::Zeroizing::new([0; BYTES]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        &input.salt,
        password,
        &mut *salted_password,
    );
    let client_key = sign(&*salted_password, b"Client Key");
    let server_key = sign(&*salted_password, b"Server Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let auth_message = input.auth_message.as_bytes();
    let client_signature = sign(stored_key.as_ref(), auth_message);
    let mut client_proof = client_key;
    for (proof, signature) in client_proof.iter_mut().zip(client_signature) {
        *proof ^= signature;
    }
    Reply::Scram {
        client_proof,
        server_signature: sign(&server_key, auth_message),
    }
}

fn sign(key: &[u8], message: &[u8]) -> [u8; BYTES] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, message);
    tag.as_ref()
        .try_into()
        .expect("a tag is as long as the digest")
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rmail_proto::Secret;

    use super::*;

    #[test]
    fn example_of_the_rfc_comes_out() {
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let input = ScramInput {
            password: Secret::new("pencil".to_owned()),
            salt: STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            iterations: 4096,
            auth_message: format!(
                "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                 c=biws,r={nonce}"
            ),
        };
        let Reply::Scram {
            client_proof,
            server_signature,
        } = answer_scram(&input)
        else {
            panic!("no proof");
        };
        let proof = STANDARD.encode(client_proof);
        assert_eq!(proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let signature = STANDARD.encode(server_signature);
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
