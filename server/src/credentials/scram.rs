//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::num::NonZeroU32;

use aws_lc_rs::{
    digest, hmac,
    pbkdf2::{self, PBKDF2_HMAC_SHA256},
};
use rmail_proto::smtp::client::{Reply, ScramInput};

/// The proof that the password is known, and what the server's signature must be.
pub fn scram_proof(input: &ScramInput) -> Reply {
    let iterations = NonZeroU32::new(input.iterations).unwrap_or(NonZeroU32::MIN);
    let mut salted = [0; 32];
    let password = input.password.reveal().as_bytes();
    pbkdf2::derive(
        PBKDF2_HMAC_SHA256,
        iterations,
        &input.salt,
        password,
        &mut salted,
    );
    let client_key = mac(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = mac(stored_key.as_ref(), input.auth_message.as_bytes());
    let mut client_proof = client_key;
    for (byte, mask) in client_proof.iter_mut().zip(signature) {
        *byte ^= mask;
    }
    let server_key = mac(&salted, b"Server Key");
    Reply::Scram {
        client_proof,
        server_signature: mac(&server_key, input.auth_message.as_bytes()),
    }
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, text);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rmail_proto::Secret;

    use super::*;

    #[test]
    fn example_of_the_rfc_comes_out() {
        // RFC 7677 §3.
        let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let auth_message = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,{server_first},c=biws,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        );
        let input = ScramInput {
            password: Secret::new("pencil".to_owned()),
            salt: STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            iterations: 4096,
            auth_message,
        };
        let Reply::Scram {
            client_proof,
            server_signature,
        } = scram_proof(&input)
        else {
            panic!("it is a proof");
        };
        let proof = STANDARD.encode(client_proof);
        assert_eq!(proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let signature = STANDARD.encode(server_signature);
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
