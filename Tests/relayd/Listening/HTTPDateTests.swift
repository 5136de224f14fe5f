import Testing

@testable import RelayListening

@Suite struct HTTPDateTests {
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (1_709_208_000, "Thu, 29 Feb 2024 12:00:00 GMT"),
    ])
    func isWrittenAsTheStandardHasIt(second: Int, text: String) { #expect(HTTPDate.text(second) == text) }
}
