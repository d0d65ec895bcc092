"""CAN: frames, their exact time on the wire, and a simulated bus that several processes share."""
