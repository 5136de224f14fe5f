@main struct Chatctl { static func main() {} }
