"""The tokenizer of llama2.c: byte pairs merged by score."""

from __future__ import annotations

import struct
from pathlib import Path

from mho.errors import BadInput

BEGIN = 1
_BYTES_FROM = 3
"""Token of byte 0; tokens 0 to 2 are unknown, begin and end."""


class Tokenizer:
    """Text to tokens and back.

    Args:
        pieces: The bytes of each token.
        scores: The score of each token; among the possible merges the one of the highest score comes first.
    """

    def __init__(self, pieces: list[bytes], scores: list[float]) -> None:
        self.pieces, self.scores = pieces, scores
        self._number: dict[bytes, int] = {}
        for number, piece in enumerate(pieces):
            self._number.setdefault(piece, number)

    @classmethod
    def read(cls, file: Path) -> Tokenizer:
        """From a ``.bin`` file of llama2.c: four bytes, then score, length and bytes of each token.

        Raises:
            BadInput: The file ends within a token.
        """
        content, place = file.read_bytes(), 4
        pieces, scores = [], []
        try:
            while place < len(content):
                score, length = struct.unpack_from("<fi", content, place)
                place += 8
                pieces.append(struct.unpack_from(f"{length}s", content, place)[0])
                scores.append(score)
                place += length
        except struct.error as error:
            raise BadInput(f"is no tokenizer of llama2.c ({error})", "fetch it again", path=str(file)) from error
        return cls(pieces, scores)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, after `BEGIN` and, as llama2.c has it, one space."""
        tokens: list[int] = []
        for character in f" {text}" if text else "":
            piece = character.encode()
            tokens += [self._number[piece]] if piece in self._number else [_BYTES_FROM + byte for byte in piece]
        while (place := self._best_merge(tokens)) is not None:
            tokens[place : place + 2] = [self._number[self._pair(tokens, place)]]
        return [BEGIN, *tokens]

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens; the three special ones are left out."""
        content = b"".join(self._bytes(token) for token in tokens if token >= _BYTES_FROM)
        return content.decode(errors="replace").removeprefix(" ")

    def _bytes(self, token: int) -> bytes:
        """A single byte is written as ``<0x0A>`` in the file."""
        byte = token - _BYTES_FROM
        return bytes([byte]) if byte < 256 else self.pieces[token]

    def _pair(self, tokens: list[int], place: int) -> bytes:
        return self.pieces[tokens[place]] + self.pieces[tokens[place + 1]]

    def _best_merge(self, tokens: list[int]) -> int | None:
        """Place of the first of the pairs with the highest score, None when no pair is a token."""
        possible = [i for i in range(len(tokens) - 1) if self._pair(tokens, i) in self._number]
        return max(possible, key=lambda i: self.scores[self._number[self._pair(tokens, i)]], default=None)
